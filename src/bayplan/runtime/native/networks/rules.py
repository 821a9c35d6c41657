"""The table's text: sets, maps, chains and rules in the language of nft(8)."""

from __future__ import annotations

import re

BASE = """
add table inet {t}
add set inet {t} bridges {{ type ifname; }}
add set inet {t} pairs {{ type ifname . ifname; }}
add set inet {t} outgoing {{ type ifname; }}
add set inet {t} subnets {{ type ipv4_addr; flags interval; }}
add set inet {t} masked {{ type ipv4_addr; flags interval; }}
add set inet {t} gateways {{ type ipv4_addr; }}
add set inet {t} resolvers {{ type ifname . ipv4_addr; }}
add set inet {t} gateways6 {{ type ipv6_addr; }}
add set inet {t} resolvers6 {{ type ifname . ipv6_addr; }}
add map inet {t} ports_any {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
add map inet {t} ports_address {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
add map inet {t} shared_any {{ type inet_proto . inet_service : verdict; }}
add map inet {t} shared_address {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
add set inet {t} subnets6 {{ type ipv6_addr; flags interval; }}
add set inet {t} masked6 {{ type ipv6_addr; flags interval; }}
add set inet {t} unled6 {{ type ipv6_addr; }}
add map inet {t} ports_any6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
add map inet {t} ports_address6 {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
add map inet {t} shared_any6 {{ type inet_proto . inet_service : verdict; }}
add map inet {t} shared_address6 {{ type ipv6_addr . inet_proto . inet_service : verdict; }}
add chain inet {t} prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}
add chain inet {t} output {{ type nat hook output priority -100; policy accept; }}
add chain inet {t} publish
add chain inet {t} input {{ type filter hook input priority filter; policy accept; }}
add chain inet {t} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
add chain inet {t} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain inet {t} prerouting
flush chain inet {t} output
flush chain inet {t} publish
flush chain inet {t} input
flush chain inet {t} postrouting
flush chain inet {t} forward
add rule inet {t} prerouting ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} output ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} prerouting ip6 daddr @gateways6 meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} output ip6 daddr @gateways6 meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} prerouting iifname != "lo" ip daddr 127.0.0.0/8 accept
add rule inet {t} prerouting fib daddr type local jump publish
add rule inet {t} output fib daddr type local jump publish
add rule inet {t} publish dnat ip to ip daddr . meta l4proto . th dport map @ports_address
add rule inet {t} publish ip daddr . meta l4proto . th dport vmap @shared_address
add rule inet {t} publish dnat ip to meta l4proto . th dport map @ports_any
add rule inet {t} publish meta nfproto ipv4 meta l4proto . th dport vmap @shared_any
add rule inet {t} publish ip6 daddr @unled6 return
add rule inet {t} publish dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports_address6
add rule inet {t} publish ip6 daddr . meta l4proto . th dport vmap @shared_address6
add rule inet {t} publish dnat ip6 to meta l4proto . th dport map @ports_any6
add rule inet {t} publish meta nfproto ipv6 meta l4proto . th dport vmap @shared_any6
add rule inet {t} postrouting ip saddr @masked oifname != @bridges masquerade
add rule inet {t} postrouting ip saddr 127.0.0.0/8 oifname @bridges masquerade
add rule inet {t} postrouting ct status dnat ip saddr @subnets ip daddr @subnets masquerade
add rule inet {t} postrouting ip6 saddr @masked6 oifname != @bridges masquerade
add rule inet {t} postrouting ip6 saddr ::1 oifname @bridges masquerade
add rule inet {t} postrouting ct status dnat ip6 saddr @subnets6 ip6 daddr @subnets6 masquerade
add rule inet {t} input iifname @bridges ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 \
iifname . ip daddr != @resolvers drop
add rule inet {t} input iifname @bridges ip6 daddr @gateways6 meta l4proto {{ tcp, udp }} th dport 53 \
iifname . ip6 daddr != @resolvers6 drop
add rule inet {t} forward ct state established,related accept
add rule inet {t} forward ct status dnat oifname @outgoing accept
add rule inet {t} forward iifname . oifname @pairs accept
add rule inet {t} forward iifname @bridges oifname @bridges drop
add rule inet {t} forward iifname @outgoing accept
add rule inet {t} forward iifname @bridges drop
add rule inet {t} forward oifname @bridges drop
"""
MARK = "bayplan"
"""Comment of our rules: as many others in their place are told from them."""
RULES = BASE.count("\nadd rule ")


def marked(text: str) -> str:
    """The text with the mark on each of its rules."""
    return re.sub(r"^(add rule .*)$", rf'\1 comment "{MARK}"', text, flags=re.MULTILINE)


CHAINS = frozenset(re.findall(r"^flush chain inet {t} (\w+)$", BASE, re.MULTILINE))
"""Those that hold just our rules."""
