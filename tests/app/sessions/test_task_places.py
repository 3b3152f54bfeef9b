"""Which round comes next, from what the casebook holds."""

from types import SimpleNamespace

from app.sessions.task_places import TaskPlaces, left_open, room_noise_dbfs
from app.study import practice_study

TASKS = practice_study().tasks


def attempt(task_id, number, state, **verdict):
    return SimpleNamespace(task_id=task_id, round=number, state=state, verdict=verdict or None)


def place(places):
    present = places.present
    return None if present is None else (present.task.id, present.round, present.attempt)


def test_a_new_participant_begins_with_the_first_task_and_ends_with_none():
    places, seen = TaskPlaces(TASKS, []), []
    while place(places) is not None:
        seen.append(place(places))
        places.note("kept")
    assert seen == [
        ("room_noise", 1, 1),
        *(("coughs", number, 1) for number in (1, 2, 3)),
        *(("forced_breaths", number, 1) for number in (1, 2, 3)),
    ]
    assert (places.n_rounds, places.n_left) == (7, 0)


def test_unfinished_work_goes_on_where_it_was_left_with_the_attempts_counted():
    places = TaskPlaces(
        TASKS,
        [
            attempt("room_noise", 1, "kept"),
            attempt("coughs", 1, "redone"),
            attempt("coughs", 1, "kept_with_reason"),
            attempt("coughs", 2, "redone"),
            attempt("coughs", 2, "unfinished"),
        ],
    )
    assert place(places) == ("coughs", 2, 3)
    places.note("redone")
    assert place(places) == ("coughs", 2, 4)
    places.note("kept_with_reason")
    assert place(places) == ("coughs", 3, 1)


def test_a_task_can_be_left_out():
    places = TaskPlaces(TASKS, [])
    places.skip_task()
    places.note("kept")
    places.skip_task()
    assert place(places) == ("forced_breaths", 1, 1)
    places.skip_task()
    assert place(places) is None


def test_who_has_done_all_begins_again():
    done = [attempt(task.id, number, "kept") for task in TASKS for number in range(1, task.rounds + 1)]
    assert place(TaskPlaces(TASKS, done)) == ("room_noise", 1, 2)


def test_the_noise_of_the_room_is_that_of_the_newest_recording_that_was_kept():
    assert room_noise_dbfs(TASKS, []) is None
    attempts = [
        attempt("room_noise", 1, "kept", noise_dbfs=-50.0),
        attempt("room_noise", 1, "kept_with_reason", noise_dbfs=-40.0),
        attempt("room_noise", 1, "redone", noise_dbfs=-30.0),
        attempt("coughs", 1, "kept", noise_dbfs=-20.0),
    ]
    assert room_noise_dbfs(TASKS, attempts) == -40.0


def test_what_a_kill_left_open_is_the_newest_unfinished_attempt_at_the_present_place():
    present = TaskPlaces(TASKS, []).present
    first, second = attempt("room_noise", 1, "unfinished"), attempt("room_noise", 1, "unfinished")
    assert left_open(present, [first, second, attempt("coughs", 1, "unfinished")]) is second
    assert left_open(present, [attempt("coughs", 1, "unfinished")]) is None
    assert left_open(None, [first]) is None
