// Randomness in property tests is seeded by fast-check and printed on failure; nothing else may depend on chance.
process.env['TZ'] = 'UTC';
process.env['TCP_NODELAY'] = '1';
