#!/bin/sh
# py-xbrl 3.0.3, inline XBRL (the form of every 10-K): one number of the page that is tagged as two facts, one tag inside the other.
# Guess: two facts, as the specification of inline XBRL allows it and filings use it (net income that is also "profit or loss").
# Seen: the inner one. The outer fact is left out without a word; which of the two that is depends on the order in which the filer nested them.
# Why it matters: a fundamental factor lacks the figure for some companies and quarters, and fills it from an older report.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'py-xbrl==3.0.3'
"$work/venv/bin/python" -W ignore - "$work" <<'PY'
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from xbrl.cache import HttpCache
from xbrl.instance import XbrlParser

folder = Path(sys.argv[1])
TYPE = 'type="xbrli:monetaryItemType" substitutionGroup="xbrli:item" xbrli:periodType="duration"'
(folder / "ex.xsd").write_text(
    '<?xml version="1.0" encoding="UTF-8"?><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://example.com/ex"'
    ' xmlns:xbrli="http://www.xbrl.org/2003/instance" xmlns:ex="http://example.com/ex" elementFormDefault="qualified">'
    f'<xs:element id="ex_NetIncome" name="NetIncome" {TYPE}/><xs:element id="ex_ProfitLoss" name="ProfitLoss" {TYPE}/></xs:schema>'
)
PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:ix="http://www.xbrl.org/2013/inlineXBRL" xmlns:link="http://www.xbrl.org/2003/linkbase"
 xmlns:ixt="http://www.xbrl.org/inlineXBRL/transformation/2015-02-26" xmlns:xbrli="http://www.xbrl.org/2003/instance"
 xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:iso4217="http://www.xbrl.org/2003/iso4217" xmlns:ex="http://example.com/ex">
<head><title>10-K</title></head><body><div style="display:none"><ix:header>
<ix:references><link:schemaRef xlink:type="simple" xlink:href="ex.xsd"/></ix:references>
<ix:resources><xbrli:context id="year"><xbrli:entity><xbrli:identifier scheme="http://www.sec.gov/CIK">0000000001</xbrli:identifier></xbrli:entity>
<xbrli:period><xbrli:startDate>2023-01-01</xbrli:startDate><xbrli:endDate>2023-12-31</xbrli:endDate></xbrli:period></xbrli:context>
<xbrli:unit id="usd"><xbrli:measure>iso4217:USD</xbrli:measure></xbrli:unit></ix:resources></ix:header></div><p>%s</p></body></html>"""
INLINE = "{http://www.xbrl.org/2013/inlineXBRL}nonFraction"


def tag(name, content):
    return f'<ix:nonFraction name="ex:{name}" contextRef="year" unitRef="usd" decimals="-3" scale="3" format="ixt:numdotdecimal">{content}</ix:nonFraction>'


pages = {
    "beside each other": tag("NetIncome", "1,234") + " " + tag("ProfitLoss", "1,234"),
    "ProfitLoss inside": tag("NetIncome", tag("ProfitLoss", "1,234")),
    "NetIncome inside": tag("ProfitLoss", tag("NetIncome", "1,234")),
}
seen = {}
for number, (case, body) in enumerate(pages.items()):
    path = folder / f"{number}.htm"
    path.write_text(PAGE % body)
    tags = sorted(element.get("name").removeprefix("ex:") for element in ElementTree.parse(path).iter(INLINE))
    seen[case] = sorted((fact.concept.name, fact.value) for fact in XbrlParser(HttpCache(str(folder / "cache"))).parse_instance(str(path)).facts)
    print(f"{case}: tags {tags}, facts {seen[case]}")
    assert tags == ["NetIncome", "ProfitLoss"]
assert seen["beside each other"] == [("NetIncome", 1_234_000.0), ("ProfitLoss", 1_234_000.0)]
assert seen["ProfitLoss inside"] == [("ProfitLoss", 1_234_000.0)] and seen["NetIncome inside"] == [("NetIncome", 1_234_000.0)]
PY
