-- SPDX-License-Identifier: Apache-2.0
-- That somebody at a provider is one of our users from now on is a change like any other.

CREATE TRIGGER user_links_are_audited AFTER INSERT OR UPDATE ON user_links
    FOR EACH ROW EXECUTE FUNCTION audit_row('user_link', 'user_id', 'issuer');
