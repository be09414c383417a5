"""What a command's processes may not do, and who keeps them from it."""

from attrs import frozen


@frozen(kw_only=True)
class Confinement:
    """
    What a command has that the daemon has not; L{None}: it is as the daemon.

    @ivar nice: added to the daemon's own.
    @ivar memory: bytes of address space, for each process.
    @ivar cpu_seconds: for each process.
    @ivar processes: of its user, in all.
    @ivar open_files: for each process.
    @ivar file_size: bytes that a file which it writes may have.
    @ivar no_new_privileges: whether set-user-ID programs run as the user who starts
        them.
    @ivar die_with_daemon: whether the process that the daemon starts is killed when
        the daemon is gone, however that came.
    """

    user: str | None = None
    group: str | None = None
    umask: int | None = None
    nice: int | None = None
    memory: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    no_new_privileges: bool = False
    die_with_daemon: bool = False
