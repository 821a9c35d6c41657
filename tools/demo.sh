#!/bin/sh
# The main job, shown: a stack of three services from an ordinary Compose file on a bare host. Called by ./run, as root.
#   demo.sh up VENV      bring it up, again (nothing changes), then with one edit
#   demo.sh down VENV    remove all of it
# The demo has a core of its own (state root, networks, rules), so that it meets nothing of yours. SHOP_PORT chooses the port.
set -eu
verb=$1 VENV=$2
HOME_DIR=/var/lib/bayplan-demo
export BAYPLAN_CONFIG="$HOME_DIR/config.toml" BAYPLAN_COMMAND="$PWD/$VENV/bin/bayplan"
export ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false
export SHOP_PORT="${SHOP_PORT:-8080}" LC_ALL=C.UTF-8
bayplan="$VENV/bin/bayplan -f examples/shop/compose.yaml"

say() { printf '\n== %s\n' "$*"; }
play() { "$VENV/bin/ansible-playbook" -i localhost, playbooks/demo.yml -e "shop_port=$SHOP_PORT" "$@"; }

config() {
  mkdir -p "$HOME_DIR"
  chmod 0700 "$HOME_DIR"
  cat > "$BAYPLAN_CONFIG" <<EOF
state_root = "$HOME_DIR/state"
run_root = "/run/bayplan-demo"
address_pool = "10.215.0.0/16"
interface_prefix = "bpd"
nft_table = "bayplan_demo"
cgroup_parent = "/bayplan-demo"
EOF
  if python3 tests/lab/lab.py public; then
    say "Images come from the public registry"
  else
    python3 tests/lab/lab.py status | grep -q '^registry' || touch "$HOME_DIR/lab-is-ours"
    say "No public registry can be reached: a registry on loopback with images made from Debian packages stands in"
    printf 'registries_conf = ["%s"]\n' "$(python3 tests/lab/lab.py up)" >> "$BAYPLAN_CONFIG"
  fi
}

up() {
  config
  say "What will be done (bayplan plan)"
  $bayplan plan
  say "First run of playbooks/demo.yml"
  play
  say "Second run: nothing is left to do"
  play
  say "One edit, GREETING: the plan"
  GREETING="Fair winds" $bayplan plan
  say "The edit applied: only that service is replaced"
  play -e "greeting='Fair winds'" --diff
  say "What runs (bayplan status)"
  $bayplan status
  root= # a root host may have no sudo
  [ -z "${SUDO_USER:-}" ] || root="sudo "
  cat <<EOF

Open http://127.0.0.1:$SHOP_PORT/
More:   ${root}env BAYPLAN_CONFIG=$BAYPLAN_CONFIG SHOP_PORT=$SHOP_PORT GREETING="Fair winds" \\
          $bayplan logs web        (also: status, plan, exec)
Remove: ./run demo-down
EOF
}

down() {
  if [ -f "$BAYPLAN_CONFIG" ]; then
    "$VENV/bin/bayplan" -p shop destroy --volumes
  fi
  # A lab that was there before the demo stays.
  [ ! -e "$HOME_DIR/lab-is-ours" ] || python3 tests/lab/lab.py down
  rm -rf "$HOME_DIR" /run/bayplan-demo
}

case $verb in up) up ;; down) down ;; esac
