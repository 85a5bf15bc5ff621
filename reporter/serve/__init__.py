"""The reporter as a service: a turn at every whole minute, and pages that show how it goes.

service    what happens when: APScheduler's clock, the one `serve` that works, stopping
turns      one turn: fold, prune, report; show the page, push; every outcome told and counted
standing   how it goes, said once for the pages and the log
pages      /metrics, /healthz, /readyz
log        log lines for people, or as JSON

What is due is a whole minute, and windows end there however late the turn begins.  Turns that could not begin, because one was
still at work or the process was suspended, are one turn: the next; it is told and counted.
"""
