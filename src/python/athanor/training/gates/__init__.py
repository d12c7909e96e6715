"""Gates: conditions a release must meet, declared in a recipe. Each of them can fail.

In their examples, `evidence` holds 400 held-out rows and a logistic regression whose label follows the column `amount`.
"""
