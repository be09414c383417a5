"""
How fast shellstream is beside its peers: C{python -m tests.benchmarks}.

From a checkout, on Linux, with C{pip install -e '.[test,bench]'}. All that a peer
needs must be installed, or it is skipped (on Debian: nginx-light, fcgiwrap, lighttpd,
websocketd, openssh-server, nodejs, curl, strace). The client is built with C{cc} (gcc,
libc6-dev). Best on a machine that does nothing else::

    python -m tests.benchmarks --out FOLDER       # everything: most of an hour
    python -m tests.benchmarks --smoke            # one minute: does it all work?
    python -m tests.benchmarks --metric latency runs --peer node nginx --rounds 9
    python -m tests.benchmarks --count --by-file  # counts instead of times
    python -m tests.benchmarks --help             # names of metrics and of peers

It prints a table for each metric, and the project's bounds with what was found. With
C{--out} these are kept as C{benchmarks.md}, beside C{benchmarks.json} with all values,
and pictures. Nothing else is left on the machine: no file, process or port.

Each metric is measured in rounds. Each round goes through all servers, the next one
beginning with another of them; what is shown is the median, and how far half of the
values are from it. shellstream has its default configuration, its log on a disk, and is
started with C{twistd -n shellstream}. All peers run the same commands and are read by
the same client (L{tests.benchmarks.client}, a program in C), which compares every byte
that arrives with what the command wrote.

Metrics:

 - C{latency}: from a command's write of a small chunk to its arrival; p50, p99.
 - C{binary}, C{lines}, C{written}: MB/s of large output, as bytes, as lines, and as
   lines each of which is a write, from the request to the end; and the seconds of
   processor time that the server's own processes (not the commands) take for a GiB.
   OpenSSH's end with their stream, unless it is multiplexed: nobody can tell.
 - C{runs}: commands run a second, by 1 client and by 16, and the processor time of one.
 - C{streams}: with 500 streams open: what the server holds for each, the p99 of their
   ticks, and commands run a second beside them. fcgiwrap has its processes
   beforehand, so only what they come to use is added there.
 - C{viewers-1} to C{viewers-10000}: of one run: MB/s in all, what the server holds
   for each, when the last of them has seen a chunk, and how long after the first.
 - C{beside}: the latency's p99 while another run of the same server writes as fast as
   it is read, and the ratio to that without.
 - C{slow}: what the server holds while a reader of large output does not read.
 - C{startup}: how long a client takes as a whole process for an answer of one line.

What a server holds is its proportional set size: memory that processes share is counted
once. Sizes are in kB and MB, of 1000; a GiB is 2**30 bytes.

C{--count} counts the work of one run (C{/bin/true}, by POST on a connection that stays)
and of one chunk (32 bytes to one viewer): calls of Python, statements of SQLite, thread
hops, system calls (by strace). These do not depend on the machine, and
C{test_budget.py} holds them. C{--count --peer shellstream} takes 15 seconds.

The exit code is 1 if something could not be measured, or other bytes arrived than were
written; never because of a time.
"""
