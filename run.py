"""Text to 3D by score distillation: python run.py prompt="a cat with a hat". The same as the command gsd."""

from gsd.__main__ import main

if __name__ == "__main__":
    main()
