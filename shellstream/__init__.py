"""
Run named commands on one machine and watch their output live on another.

A request starts a L{Run}; the child's output is appended
to the run's L{OutputLog}; a viewer reads that
log at its own offset and its own pace. Log and record outlive the daemon::

    POST /stream/NAME --> Registry --> Run <-- ChildProtocol <-- child
                           |            |
                           v            v
                         Store      OutputLog <-- Viewer --> Format --> HTTP client
                           |            |
                           v            v
                        Database     RingFile

Imports point down only: values and rules (C{events}, C{record}, C{config},
C{command}, C{sectors}, C{ring}, C{outputlog} ...) know no Twisted; the domain
(C{interfaces}, C{run}, C{registry}, C{history}, C{viewer} ...) knows a clock; the
edges know one kind of I/O each: C{prepare}, C{spawn}, C{child} and C{pipes} processes,
C{ringfile} and C{logs} files, C{database} and C{store} SQLite. C{web} knows HTTP and
the interfaces; only C{daemon} and C{tap} put it all together. The client shares
nothing with the rest.
"""

__version__ = "0.1.0"
