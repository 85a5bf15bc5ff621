"""Files for others, made from the configuration: what Prometheus evaluates, whom Alertmanager tells, what Grafana shows.

    alerts          which alerts there are, and the PromQL of each: pure
    prometheus      rules, the scrape job
    counters        the same alerts of SLOs, as Prometheus counts for itself
    rule_tests      unit tests of those rules, for `promtool test rules`
    alertmanager    routes and inhibitions
    grafana         dashboards, alert rules, and their provisioning
    files           written whole, and never over somebody's own file

The same configuration gives the same bytes.
"""
