"""One module per question; each appends a JSON record to benchmarks/results/."""
