#!/bin/sh
# vectorbt 1.0.0 installs with any plotly, and cannot be imported with plotly 7.1.0.
# Guess: `pip install vectorbt==1.0.0` gives something that imports.
# Seen: its own theme names a trace type (scattermapbox) that plotly 7 has dropped, so `import vectorbt` raises ValueError; plotly 5.24.1 works.
# Why it matters: a benchmark against it has to pin plotly too.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'vectorbt==1.0.0' 'plotly==7.1.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
try:
    import vectorbt
    said = "imported"
except ValueError as error:
    said = str(error).splitlines()[0]
print(said)
assert "scattermapbox" in said
PY
