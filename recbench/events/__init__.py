"""Events: Kafka to the lake and to the online features, exactly once; replay; the joiner."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # librdkafka's lines go to the logger
