"""What the processes of a command may not do."""

from attrs import frozen

from shellstream.model.checks import Check, boolean, count, mask, name, niceness, size
from shellstream.model.tables import setting

# Other programs call a heading of their pages a group.
_group = Check(
    "a group that the system knows, such as 'nogroup'; to list commands together on "
    "the page for browsers, use heading",
    name.schema,
    name,
)


@frozen(kw_only=True)
class Confinement:
    """
    What a command has that the daemon has not; L{None}: as the daemon has it.

    L{shellstream.process.confinement} puts it into force.
    """

    user: str | None = setting(
        "The user that runs the command; only for a daemon that runs as root.",
        name,
        None,
    )
    group: str | None = setting(
        "The group that runs the command, instead of the user's own.", _group, None
    )
    umask: int | None = setting(
        "The permissions that new files do not get, as octal digits in quotes.",
        mask,
        None,
    )
    nice: int | None = setting(
        "Niceness, added to the daemon's own; below 0 for root only.", niceness, None
    )
    # RLIMIT_AS counts for each process, also what it reserves and never touches: Java
    # and Go reserve gigabytes. Limits of all processes together need cgroups.
    memory: int | None = setting("The most address space of each process.", size, None)
    cpu_seconds: int | None = setting(
        "The most seconds of processor time of each process.", count, None
    )
    # RLIMIT_NPROC counts all processes of the user, those of other commands, too.
    processes: int | None = setting(
        "The most processes of the command's user, in all; not for root.", count, None
    )
    open_files: int | None = setting(
        "The most open files of each process.", count, None
    )
    file_size: int | None = setting(
        "The largest file that each process may write.", size, None
    )
    no_new_privileges: bool = setting(
        "Whether set-user-ID programs run without extra rights.", boolean, False
    )
    die_with_daemon: bool = setting(
        "Whether the process that the daemon starts is killed when the daemon ends, "
        "however it ends.",
        boolean,
        False,
    )
