from tests.support.broker import bus

__all__ = ["bus"]
