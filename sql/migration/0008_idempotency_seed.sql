-- SPDX-License-Identifier: Apache-2.0
-- What a request with an Idempotency-Key makes gets its ids from the key's seed, so that it can be
-- worked on again by another gateway.
DELETE FROM idempotency_keys;
ALTER TABLE idempotency_keys
    ADD COLUMN seed uuid NOT NULL,
    ADD COLUMN claimed_at timestamptz NOT NULL DEFAULT now();
