"""Tests in a real browser. As a package, they share one service and one browser, which end before other tests begin."""
