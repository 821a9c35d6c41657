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
