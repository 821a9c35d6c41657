from bayplan.runtime.native.containers.logs import read

TIME = "2026-01-01T00:00:00.000000000+00:00"


def texts(path, **options):
    return [line.text for line in read(path, **options)]


def test_pieces_are_joined_and_a_last_line_needs_no_end(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"{TIME} stdout P one \n{TIME} stderr F err\n{TIME} stdout F line\n{TIME} stdout P last\n")
    assert texts(log) == ["err", "one line", "last"]
    assert texts(log, tail=1) == ["last"]
    assert texts(log, follow=True) == ["err", "one line", "last"]


def test_a_line_that_arrives_in_two_parts_while_following_is_one(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"{TIME} stdout P one \n")

    def running():
        if log.read_text().count("\n") == 1:
            with log.open("a") as file:
                file.write(f"{TIME} stdout F line\n")
            return True
        return False

    assert texts(log, follow=True, running=running) == ["one line"]


def test_what_a_full_disk_or_a_power_cut_left_of_lines_is_left_out(tmp_path):
    """Fault rows 5 and 10: damage of one line hides no other."""
    log = tmp_path / "log"
    whole = f"{TIME} stdout F one\n".encode()
    for damage in (b"\0" * 600 + b"\n", b"2026-01-0\n", f"{TIME} std\n".encode(), b"2026-99-01T00:00:00Z stdout F x\n"):
        log.write_bytes(whole + damage + whole)
        assert texts(log) == ["one", "one"]
    log.write_bytes(whole + b"2026-01")
    assert texts(log) == ["one"]
    assert texts(log, follow=True) == ["one"]


def test_a_line_that_is_seen_half_written_while_following_is_one(tmp_path):
    log = tmp_path / "log"
    parts = [f"{TIME} stdo".encode(), b"ut F on", b"e\n"]
    log.write_bytes(parts.pop(0))

    def running():
        if parts:
            with log.open("ab") as file:
                file.write(parts.pop(0))
            return True
        return False

    assert texts(log, follow=True, running=running) == ["one"]


def test_a_last_line_without_an_end_is_given_in_the_end(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"{TIME} stdout F one\n{TIME} stdout F two")
    assert texts(log) == texts(log, follow=True) == ["one", "two"]
