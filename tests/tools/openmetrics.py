#!/usr/bin/env python3
"""openmetrics.py FILE - reads .metrics with Prometheus' own parser, prints a sample a line"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1], encoding="utf-8") as f:
    text = f.read()
for family in text_string_to_metric_families(text):
    for sample in family.samples:
        print(json.dumps([family.type, sample.name, sample.labels, sample.value]))
