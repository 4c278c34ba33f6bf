"""The times of a schedule, and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from missive_host.commands import duration_seconds
from missive_host.errors import ValidationError, nearest
from missive_host.store.values import normal_time

SHORTEST = 1.0
"""Seconds between two jobs of a schedule, at the least."""


def moment(text: str) -> datetime:
    """Return a time of the store."""
    return datetime.fromisoformat(text)


def stored(time: datetime) -> str:
    """Return a time as the store writes it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def when(text: str, now: str) -> str:
    """Return ``--at`` as the store writes it: an RFC 3339 time, or ``+10m`` from now. Raises `ValidationError`."""
    if not text.startswith("+"):
        try:
            return normal_time(text)
        except ValidationError as error:
            raise ValidationError(
                f"field `options.at`: {error.message}",
                help="write it with a time zone, such as 2026-01-31T09:30:00Z, or as a time from now: +10m",
            ) from None
    from missive_host.commands import Duration
    from missive_host.envelopes import convert

    convert(text[1:], Duration, "options.at")
    try:
        return stored(moment(now) + timedelta(seconds=duration_seconds(text[1:])))
    except OverflowError:
        raise ValidationError(f"field `options.at`: {text} is too far away") from None


def next_time(kind: str, expression: str, time_zone: str | None, *, after: datetime, anchor: datetime) -> str | None:
    """Return the first time of a schedule that is later than `after`, None if there is none.

    `anchor` is one of the times of an ``every``: the others are whole steps from it. Raises `ValidationError` for an
    expression or a time zone that cannot be read.
    """
    try:
        if kind == "cron":
            found = _next_of_cron(expression, zone(time_zone), after)
            return None if found is None else stored(found)
        seconds = duration_seconds(expression)
        if seconds < SHORTEST:
            raise ValidationError(f"field `options.every`: {expression} is less than {SHORTEST:g} s")
        steps = int((after - anchor).total_seconds() // seconds) + 1
        return stored(anchor + timedelta(seconds=steps * seconds))
    except OverflowError:
        return None


def _next_of_cron(expression: str, time_zone: tzinfo, after: datetime) -> datetime | None:
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        raise ValidationError(
            f"field `options.cron`: expected five fields, not {len(expression.split())}",
            help="minute, hour, day of the month, month, day of the week: `0 7 * * MON-FRI`",
        )
    try:
        return next(CronSim(expression, after.astimezone(time_zone)), None)
    except CronSimError as error:
        raise ValidationError(
            f"field `options.cron`: '{expression}' cannot be read: {str(error)[:1].lower()}{str(error)[1:]}",
            help="minute, hour, day of the month, month, day of the week: `0 7 * * MON-FRI`",
        ) from None


def zone(name: str | None) -> tzinfo:
    """Return a time zone by its name in the IANA database. Raises `ValidationError`."""
    if name is None or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValidationError(
            f"field `options.time_zone`: '{name[:64]}' is not a time zone that this machine knows"
            + nearest(name[:64], sorted(available_timezones())),
            help="a name such as Europe/Berlin or America/New_York",
        ) from None
