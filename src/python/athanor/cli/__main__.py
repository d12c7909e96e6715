"""The app `athanor` with every project, run from sources: `./pants athanor`."""

from athanor.cli.app import main

if __name__ == "__main__":
    main()
