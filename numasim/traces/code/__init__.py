"""The code a traced program ran: where its bytes come from, and what each instruction reads and writes."""
