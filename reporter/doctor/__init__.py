"""One look at everything that makes a setup fail; it only reads.

finding      what was found: ok, a warning, a failure; and the remedy
machine      Python, SQLite, the configuration and its secrets, prices
places       where facts lie: files, their rights, disks, the spool
contents     what is in the database: recorders' troubles, folding, leases, jobs and SLOs that nothing was heard of
gateway      what the Pushgateway shows of us
examination  all of them in order, each where what it needs could be had; secrets are blotted out at the end
"""
