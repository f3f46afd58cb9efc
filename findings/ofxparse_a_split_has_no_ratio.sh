#!/bin/sh
# ofxparse 0.21: an investment statement with a purchase of 10, a split of four for one, and a sale of 20.
# Guess: all three are read, in the order of the statement, and the split says 10 old and 40 new units.
# Seen: the split is listed with 0 units, and its OLDUNITS, NEWUNITS, NUMERATOR and DENOMINATOR are nowhere. Transactions are grouped by kind, so
# that it stands behind the sale that it comes before. Added up they leave -10 shares where the statement's own position says 20.
# ofxtools 1.1.1 reads the same file as written. Why it matters: every share that ever split has a wrong quantity and cost per share.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ofxparse==0.21' 'ofxtools==1.1.1' 'beautifulsoup4==4.14.3' 'lxml==6.0.2' 'six==1.17.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import io
from decimal import Decimal

from ofxparse import OfxParser
from ofxtools.Parser import OFXTree

SHARE = "<SECID><UNIQUEID>037833100<UNIQUEIDTYPE>CUSIP</SECID>"
HEADER = (
    "OFXHEADER:100", "DATA:OFXSGML", "VERSION:102", "SECURITY:NONE", "ENCODING:USASCII", "CHARSET:1252",
    "COMPRESSION:NONE", "OLDFILEUID:NONE", "NEWFILEUID:NONE", "", "",
)
BODY = (
    "<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>20240201120000<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>",
    "<INVSTMTMSGSRSV1><INVSTMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS><INVSTMTRS><DTASOF>20240131<CURDEF>USD",
    "<INVACCTFROM><BROKERID>broker.example<ACCTID>1</INVACCTFROM><INVTRANLIST><DTSTART>20240101<DTEND>20240131",
    f"<BUYSTOCK><INVBUY><INVTRAN><FITID>1<DTTRADE>20240102</INVTRAN>{SHARE}<UNITS>10<UNITPRICE>100<TOTAL>-1000",
    "<SUBACCTSEC>CASH<SUBACCTFUND>CASH</INVBUY><BUYTYPE>BUY</BUYSTOCK>",
    f"<SPLIT><INVTRAN><FITID>2<DTTRADE>20240110</INVTRAN>{SHARE}<SUBACCTSEC>CASH<OLDUNITS>10<NEWUNITS>40<NUMERATOR>4<DENOMINATOR>1</SPLIT>",
    f"<SELLSTOCK><INVSELL><INVTRAN><FITID>3<DTTRADE>20240115</INVTRAN>{SHARE}<UNITS>-20<UNITPRICE>26<TOTAL>520",
    "<SUBACCTSEC>CASH<SUBACCTFUND>CASH</INVSELL><SELLTYPE>SELL</SELLSTOCK></INVTRANLIST>",
    f"<INVPOSLIST><POSSTOCK><INVPOS>{SHARE}<HELDINACCT>CASH<POSTYPE>LONG<UNITS>20<UNITPRICE>26<MKTVAL>520<DTPRICEASOF>20240131",
    "</INVPOS></POSSTOCK></INVPOSLIST></INVSTMTRS></INVSTMTTRNRS></INVSTMTMSGSRSV1></OFX>",
)
text = ("\r\n".join(HEADER) + "\n".join(BODY)).encode()

statement = OfxParser.parse(io.BytesIO(text)).account.statement
kinds = [line.type for line in statement.transactions]
split = statement.transactions[kinds.index("split")]
left = sum((line.units for line in statement.transactions), Decimal(0))
print("ofxparse:", kinds, "split:", {name: str(value) for name, value in vars(split).items() if value not in (None, "", 0)})
print(f"units added up {left}, position by the statement {statement.positions[0].units}")
assert kinds == ["buystock", "sellstock", "split"]
assert split.units == 0 and not {Decimal(4), Decimal(40)} & {value for value in vars(split).values() if isinstance(value, Decimal)}
assert left == -10 and statement.positions[0].units == 20

tree = OFXTree()
tree.parse(io.BytesIO(text))
lines = tree.convert().statements[0].invtranlist
held = Decimal(0)
for line in lines:
    held = held * line.numerator / line.denominator if type(line).__name__ == "SPLIT" else held + line.units
print("ofxtools:", [type(line).__name__ for line in lines], "held", held)
assert [type(line).__name__ for line in lines] == ["BUYSTOCK", "SPLIT", "SELLSTOCK"] and held == 20
PY
