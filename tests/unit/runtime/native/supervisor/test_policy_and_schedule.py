"""Restart pauses and the course of health as pure functions: no clock, no process."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.models import Duration, HealthCheck
from bayplan.runtime.native.supervisor.policy import Policy, pause_s
from bayplan.runtime.native.supervisor.schedule import Check, Course, age_s, seconds


def test_pauses_double_from_a_tenth_of_a_second_to_a_minute():
    pauses, last = [], 0.0
    for _ in range(12):
        last = pause_s(last, ran_s=1.0)
        pauses.append(last)
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [60.0, 60.0]


def test_a_run_of_ten_seconds_makes_the_pause_short_again():
    assert pause_s(51.2, ran_s=9.9) == 60.0
    assert pause_s(51.2, ran_s=10.0) == 0.1


@pytest.mark.parametrize(
    ("condition", "most", "code", "restarts", "again"),
    [
        ("no", None, 1, 0, False),
        ("always", None, 0, 99, True),
        ("unless-stopped", None, 0, 99, True),
        ("on-failure", None, 0, 0, False),
        ("on-failure", None, 1, 99, True),
        ("on-failure", None, None, 0, True),
        ("on-failure", 3, 1, 2, True),
        ("on-failure", 3, 1, 3, False),
        ("always", 3, 0, 3, False),
    ],
)
def test_which_ends_are_followed_by_a_start(condition, most, code, restarts, again):
    assert Policy(condition, most).again(code, restarts) is again


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)))
def test_durations_are_read_as_they_are_recorded(length):
    assert seconds(str(Duration.parse(length))) == pytest.approx(length.total_seconds(), abs=1e-6)


def test_a_check_reads_the_model_and_the_image():
    declared = HealthCheck(test=("CMD-SHELL", "probe"), interval=Duration(seconds=90), start_period=Duration(minutes=2))
    check = Check.of(declared.model_dump(mode="json"), {"test": ["CMD", "image"]})
    assert check == Check(("/bin/sh", "-c", "probe"), interval_s=90, timeout_s=30, retries=3, start_period_s=120)
    assert Check.of(None, {"test": ["CMD", "a", "b"], "timeout": "1.5s"}) == Check(("a", "b"), timeout_s=1.5)
    assert Check.of({"test": ["NONE"]}, {"test": ["CMD", "image"]}) is None
    assert Check.of(None, None) is None


def test_failures_count_after_the_start_period_and_a_success_ends_it():
    course = Course(Check(("x",), interval_s=2, retries=2, start_period_s=10))
    for age in (0, 2, 9):
        course.note(False, age)
    assert (course.status, course.streak) == ("starting", 0)
    course.note(True, 9.5)
    course.note(False, 9.6)
    assert (course.status, course.streak) == ("healthy", 1)
    course.note(False, 9.7)
    assert (course.status, course.streak) == ("unhealthy", 2)
    course.note(True, 12)
    assert (course.status, course.streak) == ("healthy", 0)


def test_the_check_right_after_the_start_can_only_help():
    course = Course(Check(("x",), interval_s=30, retries=1))
    course.note(False, 0.1)
    assert course.status == "starting"
    course.note(False, 30.2)
    assert course.status == "unhealthy"


def test_checks_are_closer_together_in_the_start_period():
    course = Course(Check(("x",), interval_s=30, start_period_s=60))
    assert (course.pause_s(1), course.pause_s(61)) == (5.0, 30)
    course = Course(Check(("x",), interval_s=30, start_period_s=60, start_interval_s=0.5))
    assert course.pause_s(1) == 0.5
    course.note(True, 2)
    assert course.pause_s(2) == 30


def test_the_age_of_a_process_is_by_the_clock_of_boot():
    assert age_s(None) == age_s(0) == 0.0
    assert age_s(1) > 1
    assert age_s(2**60) == 0.0
