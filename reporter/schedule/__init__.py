"""When runs of a batch job are due, and what their runs were in that light.  Pure: no clock, no database, no file.

due          when runs are due: cron expressions in a time zone, intervals, the job's own rhythm
expectation  what is expected of a job's runs
timetable    due times as columns, made once for all jobs that share them
timetable    due times as columns, made once for all jobs that share them
judge        due times and runs → which were missed, which came late, which overlapped, took too long or were too fast
standing     the latest runs and what was judged → the state of a job at one moment, and when it is due next
"""
