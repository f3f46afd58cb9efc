"""Books that several kinds are from."""

WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
APPEL = "Appel, Technical Analysis: Power Tools for Active Investors, 2005"
KAUFMAN = "Kaufman, Smarter Trading, 1995"
LANE = "Lane, Lane's Stochastics, 1984"
AFML = "Lopez de Prado, Advances in Financial Machine Learning, 2018"
MURPHY = "Murphy, Technical Analysis of the Financial Markets, 1999"
