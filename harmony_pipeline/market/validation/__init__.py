"""What a raw row is judged by: the catalog of rules, the compiled judges, what they remember, and the sentences of their verdicts."""
