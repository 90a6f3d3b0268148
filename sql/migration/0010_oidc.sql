-- SPDX-License-Identifier: Apache-2.0
-- Whom an OpenID Connect provider means by which subject.

CREATE TABLE user_links (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_links_subject_is_unique PRIMARY KEY (issuer, subject),
    -- An address that has changed hands at the provider does not give a second person access.
    CONSTRAINT user_links_user_is_unique UNIQUE (issuer, user_id)
);
