"""`python -m photoguard_eval`, which is `photoguard-eval`."""

from photoguard_eval.app.main import main

if __name__ == "__main__":
    raise SystemExit(main())
