"""No statement is overlooked, whatever it stands in."""

import ast

from house.statements import statements_of

SOURCE = """
import one
async def outer():
    class Inner:
        value: int = 1
        def method(self):
            import two
    async with a as b:
        async for c in b:
            import three
        else:
            import four
    try:
        import five
    except ValueError:
        import six
    else:
        import seven
    finally:
        import eight
    match x:
        case 1 if y:
            import nine
        case _:
            pass
try:
    while z:
        with w:
            import ten
    else:
        import eleven
except* OSError:
    if q:
        import twelve
    elif r:
        import thirteen
    else:
        f = lambda: [g for g in h]
"""


def test_every_statement_is_found_once():
    tree = ast.parse(SOURCE)
    found = list(statements_of(tree))
    assert len(found) == len(set(found))
    assert set(found) == {node for node in ast.walk(tree) if isinstance(node, ast.stmt)}
