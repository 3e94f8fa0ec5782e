"""What a connection was, as the access log has it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A line of the access log; what does not apply is None. docs/access-log.rst says what each field is."""

    number: int | None = None
    transport: str | None = None
    listener: str | None = None
    peer: str | None = None
    proxy: str | None = None
    user: str | None = None
    start: str | None = None
    seconds: float | None = None
    ended: str | None = None
    detail: str | None = None
    faults: list[str] | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    bytes_unread: int | None = None
    bytes_unacknowledged: int | None = None
    wire_in: int | None = None
    wire_out: int | None = None
    datagrams_in: int | None = None
    datagrams_out: int | None = None
    datagram_faults: dict[str, int] | None = None
    tls_version: str | None = None
    tls_cipher: str | None = None
    tls_alpn: str | None = None
    tls_subject: str | None = None
    rtt_us: int | None = None
    rttvar_us: int | None = None
    retransmits: int | None = None
    lost: int | None = None
    delivery_rate: int | None = None
    segments_in: int | None = None
    segments_out: int | None = None

    def __repr__(self) -> str:
        known = ((each.name, getattr(self, each.name)) for each in fields(self))
        return f"Record({', '.join(f'{name}={value!r}' for name, value in known if value is not None)})"
