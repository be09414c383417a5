"""
A day of a daemon in ten minutes.

C{python -m tests.endurance} is run by hand. The daemon's clock runs 144 times as fast
as the machine's, by libfaketime, so that what happens once a second, a minute or an
hour happens as often as in a day. Meanwhile clients start runs, watch, leave, resume
and cancel; the daemon is reloaded each hour of its clock and restarted every four; the
server that it notifies is down. Every output has to be whole. At each hour the memory,
descriptors, threads and files of the daemon are noted; they have to stay as they were.
"""
