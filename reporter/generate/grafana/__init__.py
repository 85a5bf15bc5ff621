"""Grafana's files: what it shows, and whom it wakes, provisioned from the same configuration.

identity        whose files they are, where several reporters' are in one Grafana
panels          one panel: its queries and how they are drawn
dashboard       panels in rows that can't overlap, variables, links: one bare dashboard a file
services        dashboards of SLOs: overview, one SLO
calls           dashboards of LLM calls: latency, cost
work            dashboards of what runs: batch jobs, the reporter itself
alerts          the alerts of `reporter.generate.alerts` as Grafana evaluates them
provision       all the files, by name
"""
