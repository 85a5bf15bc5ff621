"""Files for others, made from the configuration: what Prometheus evaluates, and how Alertmanager tells people.

    alerts          which alerts there are, and the PromQL of each: pure
    prometheus      rules, the scrape job
    rule_tests      unit tests of those rules, for `promtool test rules`
    alertmanager    routes and inhibitions
    files           written whole, and never over somebody's own file

The same configuration gives the same bytes.
"""
