"""
Run named commands on one machine and watch their output live on another.

A request starts a L{Run<shellstream.run.Run>}; the child's output is appended
to the run's L{OutputLog<shellstream.outputlog.OutputLog>}; a viewer reads that
log at its own offset and its own pace::

    POST /stream/NAME --> Registry --> Run <-- ChildProtocol <-- child
                                        |
                                        v
                                    OutputLog <-- Viewer --> HTTP client

Imports point down only: values and rules (C{errors}, C{events}, C{parameters},
C{command}, C{toml}, C{config}, C{outputlog}) know no Twisted; the domain (C{run},
C{registry}, C{viewer}) knows a clock; C{child} and C{spawn} know processes; C{web}
knows HTTP; only C{tap} and the client's C{__main__} see the reactor.
"""

__version__ = "0.1.0"
