"""kafkasim: with my Kafka settings and these failures, what do I lose, what do I get twice, and why?"""
