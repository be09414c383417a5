"""
Finds out who holds output back, and what to change.

L{url_checks} asks servers and L{command_trials} runs commands; what they see becomes
values (L{exchange}), and these become findings by functions that know no network and no
clock: L{server_diagnosis}, L{stream_diagnosis}, L{command_diagnosis}.
"""
