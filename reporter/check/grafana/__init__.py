"""Grafana's files: what its own reader refuses, and what it forgets to.

types        what Grafana's own types say of dashboards, and the units there are
alerting     alert rules
sources      data sources, and where dashboards are
dashboards   dashboards
panels       one panel of them, and its queries
"""
