"""Spec formats of others: Sloth's and OpenSLO's.  Each is two functions that end in one model, `reporter.slo.SLO`."""
