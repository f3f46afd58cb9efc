"""A trading account at Alpaca: `client` talks, `orders` and `facts` translate and are pure,
`stream` listens, `broker` is the `Broker`. docs/alpaca.md lists what it guards against.
"""
