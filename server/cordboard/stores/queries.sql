-- Every statement, by name. One portable text: parameters are :name, no engine's own functions.
-- IN (:name[]) takes a list of texts; every engine writes that in its own way.

-- name: account_lock
INSERT INTO account (account, seq, head) VALUES (:account, 0, :head)
ON CONFLICT (account) DO UPDATE SET seq = account.seq;

-- name: account_get
SELECT seq, head, frozen_at, frozen_by, frozen_reason FROM account WHERE account = :account;

-- name: account_advance
UPDATE account SET seq = :seq, head = :head WHERE account = :account;

-- name: account_freeze
UPDATE account SET frozen_at = :at, frozen_by = :by, frozen_reason = :reason WHERE account = :account;

-- name: journal_add
INSERT INTO journal (account, seq, at, event, plan_id, principal, plan_hash, data, prev, hash)
VALUES (:account, :seq, :at, :event, :plan_id, :principal, :plan_hash, :data, :prev, :hash);

-- name: journal_page
SELECT account, seq, at, event, plan_id, principal, plan_hash, data, prev, hash
FROM journal WHERE account = :account AND seq > :after ORDER BY seq LIMIT :limit;

-- name: plans_sent_since
SELECT DISTINCT plan_id FROM journal
WHERE account = :account AND seq > :after AND event = 'sending';

-- name: journal_sizes
SELECT seq, LENGTH(data) AS size
FROM journal WHERE account = :account AND seq > :after ORDER BY seq LIMIT :limit;

-- name: journal_newest
SELECT account, seq, at, event, plan_id, principal, plan_hash, data, prev, hash
FROM journal WHERE account = :account AND seq < :before ORDER BY seq DESC LIMIT :limit;

-- name: providers
SELECT provider FROM provider WHERE account = :account ORDER BY provider;

-- name: provider_add
INSERT INTO provider (account, provider) VALUES (:account, :provider)
ON CONFLICT (account, provider) DO NOTHING;

-- name: agent_get
SELECT agent, name, direction, pathway_id, user_id, created_at, updated_at
FROM agent WHERE account = :account AND agent = :agent;

-- name: agents_page
SELECT a.agent, a.name, a.direction, a.pathway_id, a.user_id, a.created_at, a.updated_at,
       (SELECT count(*) FROM binding b WHERE b.account = a.account AND b.agent = a.agent) AS numbers
FROM agent a
WHERE a.account = :account AND a.agent > :after
  AND (:query = '' OR lower(a.agent) LIKE :query ESCAPE '\' OR lower(a.name) LIKE :query ESCAPE '\')
ORDER BY a.agent LIMIT :limit;

-- name: agent_put
INSERT INTO agent (account, agent, name, direction, pathway_id, user_id, created_at, updated_at)
VALUES (:account, :agent, :name, :direction, :pathway_id, :user_id, :at, :at)
ON CONFLICT (account, agent) DO UPDATE
SET name = excluded.name, direction = excluded.direction, pathway_id = excluded.pathway_id,
    updated_at = excluded.updated_at;

-- name: agent_touch
UPDATE agent SET updated_at = :at WHERE account = :account AND agent = :agent;

-- name: agent_bound
SELECT 1 AS found FROM binding WHERE account = :account AND agent = :agent LIMIT 1;

-- name: agent_serves_test
-- From the TEST numbers, which are few, and not from the agent's, which may be very many.
SELECT 1 AS found FROM number n CROSS JOIN binding b
WHERE n.account = :account AND n.purpose = 'TEST'
  AND b.account = n.account AND b.number = n.number AND b.agent = :agent LIMIT 1;

-- name: agent_serves_production
SELECT 1 AS found FROM binding b JOIN number n ON n.account = b.account AND n.number = b.number
WHERE b.account = :account AND b.agent = :agent AND n.purpose <> 'TEST' LIMIT 1;

-- name: number_get
SELECT number, id, provider, label, purpose, tags, slug, channels, updated_at, inbound_version,
       outbound_version
FROM number WHERE account = :account AND number = :number;

-- name: numbers_among
SELECT number, id, provider, label, purpose, tags, slug, channels, updated_at, inbound_version,
       outbound_version
FROM number WHERE account = :account AND number IN (:numbers[]);

-- name: number_by_slug
SELECT number FROM number WHERE account = :account AND slug = :slug;

-- name: number_any
SELECT 1 AS found FROM number WHERE account = :account LIMIT 1;

-- name: number_count
SELECT count(*) AS found FROM number WHERE account = :account;

-- name: number_last_id
SELECT max(id) AS id FROM number WHERE account = :account;

-- name: numbers_page
SELECT n.number, n.provider, n.label, n.purpose, n.tags, n.slug, n.inbound_version, n.outbound_version
FROM number n
WHERE n.account = :account AND n.number > :after
  AND (:provider = '' OR n.provider = :provider)
  AND (:query = '' OR n.number LIKE :query ESCAPE '\' OR lower(n.label) LIKE :query ESCAPE '\')
  AND (:state = 'any' OR (:state = 'attached') = EXISTS (
        SELECT 1 FROM binding b
        WHERE b.account = n.account AND b.number = n.number AND b.direction = 'inbound'))
ORDER BY n.number LIMIT :limit;

-- name: numbers_page_of_agent
SELECT n.number, n.provider, n.label, n.purpose, n.tags, n.slug, n.inbound_version, n.outbound_version
FROM binding h JOIN number n ON n.account = h.account AND n.number = h.number
WHERE h.account = :account AND h.agent = :agent AND h.number > :after
  AND (:provider = '' OR n.provider = :provider)
  AND (:query = '' OR n.number LIKE :query ESCAPE '\' OR lower(n.label) LIKE :query ESCAPE '\')
  AND (:state = 'any' OR (:state = 'attached') = EXISTS (
        SELECT 1 FROM binding b
        WHERE b.account = n.account AND b.number = n.number AND b.direction = 'inbound'))
ORDER BY h.number LIMIT :limit;

-- name: number_put
INSERT INTO number (account, number, id, provider, label, purpose, tags, slug, updated_at)
VALUES (:account, :number, :id, :provider, :label, :purpose, :tags, :slug, :at)
ON CONFLICT (account, number) DO UPDATE
SET provider = excluded.provider, label = excluded.label, purpose = excluded.purpose,
    tags = excluded.tags, slug = excluded.slug, updated_at = excluded.updated_at;

-- name: number_bump_inbound
UPDATE number SET inbound_version = inbound_version + 1, updated_at = :at
WHERE account = :account AND number = :number;

-- name: number_bump_outbound
UPDATE number SET outbound_version = outbound_version + 1, updated_at = :at
WHERE account = :account AND number = :number;

-- name: numbers_bump_inbound
UPDATE number SET inbound_version = inbound_version + 1, updated_at = :at
WHERE account = :account AND number IN (:numbers[]);

-- name: numbers_bump_outbound
UPDATE number SET outbound_version = outbound_version + 1, updated_at = :at
WHERE account = :account AND number IN (:numbers[]);

-- name: bindings_of
SELECT number, direction, agent, pathway_id, pathway_version, start_node_id, attached_at
FROM binding WHERE account = :account AND number = :number ORDER BY direction, agent;

-- name: bindings_among
SELECT number, direction, agent, pathway_id, pathway_version, start_node_id, attached_at
FROM binding WHERE account = :account AND number IN (:numbers[]) ORDER BY number, direction, agent;

-- name: binding_add
INSERT INTO binding (account, number, direction, agent, pathway_id, pathway_version, start_node_id,
                     attached_at)
VALUES (:account, :number, :direction, :agent, :pathway_id, :pathway_version, :start_node_id, :at);

-- name: bindings_add
INSERT INTO binding (account, number, direction, agent, pathway_id, pathway_version, start_node_id,
                     attached_at)
SELECT n.account, n.number, :direction, :agent, :pathway_id, :pathway_version, :start_node_id, :at
FROM number n WHERE n.account = :account AND n.number IN (:numbers[]) ORDER BY n.number;

-- name: binding_set_pathway
UPDATE binding SET pathway_id = :pathway_id, pathway_version = :pathway_version,
                   start_node_id = :start_node_id
WHERE account = :account AND number = :number AND direction = :direction AND agent = :agent;

-- name: bindings_set_pathway
UPDATE binding SET pathway_id = :pathway_id, pathway_version = :pathway_version,
                   start_node_id = :start_node_id
WHERE account = :account AND number IN (:numbers[]) AND direction = :direction AND agent = :agent;

-- name: binding_remove
DELETE FROM binding
WHERE account = :account AND number = :number AND direction = :direction AND agent = :agent;

-- name: bindings_remove
DELETE FROM binding
WHERE account = :account AND number IN (:numbers[]) AND direction = :direction AND agent = :agent;

-- name: pathway_any
SELECT 1 AS found FROM pathway WHERE account = :account LIMIT 1;

-- name: pathway_get
SELECT pathway_id, name FROM pathway WHERE account = :account AND pathway_id = :pathway_id;

-- name: pathway_versions
SELECT version, nodes FROM pathway_version
WHERE account = :account AND pathway_id = :pathway_id ORDER BY version;

-- name: pathways_page
SELECT pathway_id, name FROM pathway
WHERE account = :account AND pathway_id > :after
  AND (:query = '' OR lower(pathway_id) LIKE :query ESCAPE '\' OR lower(name) LIKE :query ESCAPE '\')
ORDER BY pathway_id LIMIT :limit;

-- name: pathway_put
INSERT INTO pathway (account, pathway_id, name) VALUES (:account, :pathway_id, :name)
ON CONFLICT (account, pathway_id) DO UPDATE SET name = excluded.name;

-- name: pathway_version_put
INSERT INTO pathway_version (account, pathway_id, version, nodes)
VALUES (:account, :pathway_id, :version, :nodes)
ON CONFLICT (account, pathway_id, version) DO UPDATE SET nodes = excluded.nodes;

-- name: plan_add
INSERT INTO plan (account, plan_id, ordinal, principal, request_key, state, body, hash, reason,
                  expires_at, undoes)
VALUES (:account, :plan_id, :ordinal, :principal, :request_key, 'open', :body, :hash, :reason,
        :expires_at, :undoes);

-- name: plan_get
SELECT * FROM plan WHERE account = :account AND plan_id = :plan_id;

-- name: plan_open
SELECT * FROM plan WHERE account = :account AND request_key = :request_key AND state = 'open';

-- name: plan_set_reason
UPDATE plan SET reason = :reason WHERE account = :account AND plan_id = :plan_id;

-- name: plan_close
UPDATE plan SET state = :state, closed_at = :at, closed_by = :by, closed_why = :why, used = :used
WHERE account = :account AND plan_id = :plan_id AND state IN ('open', 'approved');

-- name: plan_by_token
UPDATE plan SET by_token = :token WHERE account = :account AND plan_id = :plan_id;

-- name: plan_undone
UPDATE plan SET undone_by = :undone_by WHERE account = :account AND plan_id = :plan_id;

-- name: plans_waiting
SELECT * FROM plan
WHERE account = :account AND state IN ('open', 'approved') AND expires_at > :now AND ordinal < :before
ORDER BY ordinal DESC LIMIT :limit;

-- name: plans_newest
SELECT * FROM plan WHERE account = :account AND ordinal < :before ORDER BY ordinal DESC LIMIT :limit;

-- name: plan_change_add
INSERT INTO plan_change (account, ordinal, position, plan_id, number, direction, before_agent,
                         after_agent)
VALUES (:account, :ordinal, :position, :plan_id, :number, :direction, :before_agent, :after_agent);

-- name: plan_changes_done
UPDATE plan_change SET version = :version
WHERE account = :account AND ordinal = :ordinal AND position >= :first AND position <= :last;

-- name: plan_changes_of
SELECT * FROM plan_change WHERE account = :account AND ordinal = :ordinal ORDER BY position;

-- name: changes_page
SELECT c.ordinal, c.position, c.number, c.plan_id FROM plan_change c
WHERE c.account = :account AND (c.ordinal < :ordinal OR (c.ordinal = :ordinal AND c.position > :position))
ORDER BY c.ordinal DESC, c.position LIMIT :limit;

-- name: changes_page_of_number
SELECT c.ordinal, c.position, c.number, c.plan_id FROM plan_change c
WHERE c.account = :account AND c.number = :number
  AND (:agent = '' OR c.before_agent = :agent OR c.after_agent = :agent)
  AND (c.ordinal < :ordinal OR (c.ordinal = :ordinal AND c.position > :position))
ORDER BY c.ordinal DESC, c.position LIMIT :limit;

-- name: changes_page_of_agent
SELECT * FROM (
    SELECT c.ordinal, c.position, c.number, c.plan_id FROM plan_change c
    WHERE c.account = :account AND c.before_agent = :agent
      AND (c.ordinal < :ordinal OR (c.ordinal = :ordinal AND c.position > :position))
    ORDER BY c.ordinal DESC, c.position LIMIT :limit) AS lost
UNION
SELECT * FROM (
    SELECT c.ordinal, c.position, c.number, c.plan_id FROM plan_change c
    WHERE c.account = :account AND c.after_agent = :agent
      AND (c.ordinal < :ordinal OR (c.ordinal = :ordinal AND c.position > :position))
    ORDER BY c.ordinal DESC, c.position LIMIT :limit) AS gained
ORDER BY ordinal DESC, position LIMIT :limit;

-- name: plans_open_on_number
SELECT DISTINCT p.plan_id, p.ordinal FROM plan_change c
JOIN plan p ON p.account = c.account AND p.plan_id = c.plan_id
WHERE c.account = :account AND c.number = :number AND p.state IN ('open', 'approved')
  AND p.expires_at > :now
ORDER BY p.ordinal DESC LIMIT 20;

-- name: plans_unknown_on_number
SELECT DISTINCT p.plan_id, p.ordinal FROM plan_change c
JOIN plan p ON p.account = c.account AND p.plan_id = c.plan_id
JOIN step s ON s.account = p.account AND s.plan_id = p.plan_id AND s.position = c.position
WHERE c.account = :account AND c.number = :number AND p.state = 'unknown' AND s.state = 'unknown'
ORDER BY p.ordinal DESC LIMIT 20;

-- name: approval_add
INSERT INTO approval (account, approval_id, plan_id, plan_hash, requester, approver, level, at, expires_at)
VALUES (:account, :approval_id, :plan_id, :plan_hash, :requester, :approver, :level, :at, :expires_at);

-- name: approval_use
UPDATE approval SET used_at = :at
WHERE account = :account AND approval_id = :approval_id AND plan_id = :plan_id
  AND plan_hash = :plan_hash AND requester = :requester AND level = :level
  AND used_at = '' AND expires_at > :at;

-- name: approvers
SELECT name, principal, passphrase, added_at, added_by, subjects
FROM approver WHERE account = :account ORDER BY name;

-- name: approver_get
SELECT name, principal, passphrase, added_at, added_by, subjects
FROM approver WHERE account = :account AND name = :name;

-- name: approver_add
INSERT INTO approver (account, name, principal, passphrase, added_at, added_by, subjects)
VALUES (:account, :name, :principal, :passphrase, :at, :by, :subjects);

-- name: approver_remove
DELETE FROM approver WHERE account = :account AND name = :name;

-- name: tries_get
SELECT failures, failed_at FROM passphrase_try
WHERE account = :account AND door = :door AND name = :name;

-- name: tries_put
INSERT INTO passphrase_try (account, door, name, failures, failed_at)
VALUES (:account, :door, :name, :failures, :at)
ON CONFLICT (account, door, name) DO UPDATE
SET failures = excluded.failures, failed_at = excluded.failed_at;

-- name: tries_forget
DELETE FROM passphrase_try WHERE account = :account AND door = :door AND name = :name;

-- name: session_ended
SELECT 1 AS found FROM session_end WHERE account = :account AND nonce = :nonce;

-- name: session_end
INSERT INTO session_end (account, nonce, until) VALUES (:account, :nonce, :until)
ON CONFLICT (account, nonce) DO NOTHING;

-- name: session_ends_forget
DELETE FROM session_end WHERE account = :account AND until <= :now;

-- name: token_get
SELECT name, hash, subject, scopes, expires_at, revoked_at
FROM token WHERE account = :account AND token_id = :token_id;

-- name: tokens
SELECT token_id, name, subject, scopes, created_at, created_by, expires_at, revoked_at
FROM token WHERE account = :account ORDER BY name, created_at, token_id;

-- name: token_live
SELECT token_id FROM token
WHERE account = :account AND name = :name AND revoked_at = ''
  AND (expires_at = '' OR expires_at > :now);

-- name: token_add
INSERT INTO token (account, token_id, name, hash, subject, scopes, created_at, created_by, expires_at)
VALUES (:account, :token_id, :name, :hash, :subject, :scopes, :at, :by, :expires_at);

-- name: token_revoke
UPDATE token SET revoked_at = :at WHERE account = :account AND name = :name AND revoked_at = '';

-- name: seal_key_get
SELECT sealed_with FROM seal_key WHERE account = :account;

-- name: seal_key_add
INSERT INTO seal_key (account, sealed_with) VALUES (:account, :key)
ON CONFLICT (account) DO NOTHING;

-- name: spent_add
INSERT INTO spent (account, principal, at, plan_id, numbers)
VALUES (:account, :principal, :at, :plan_id, :numbers);

-- name: spent_since
SELECT coalesce(sum(numbers), 0) AS numbers FROM spent
WHERE account = :account AND principal = :principal AND at > :since;

-- name: spent_by_plan
SELECT coalesce(sum(numbers), 0) AS numbers FROM spent
WHERE account = :account AND principal = :principal AND plan_id = :plan_id AND at > :since;

-- name: spent_correct
UPDATE spent SET numbers = :numbers
WHERE account = :account AND principal = :principal AND plan_id = :plan_id;

-- name: agent_count
SELECT count(*) AS numbers FROM binding WHERE account = :account AND agent = :agent;

-- name: plan_approved
UPDATE plan SET state = 'approved', closed_by = :by, used = :used
WHERE account = :account AND plan_id = :plan_id AND state = 'open';

-- name: plan_begin
UPDATE plan SET state = 'applying', closed_by = :by, used = :used
WHERE account = :account AND plan_id = :plan_id AND state IN ('open', 'approved');

-- name: plan_move_on
UPDATE plan SET state = :state, closed_at = :at, closed_why = :why
WHERE account = :account AND plan_id = :plan_id AND state IN ('applying', 'unknown');

-- name: approval_unused
SELECT * FROM approval
WHERE account = :account AND plan_id = :plan_id AND used_at = '' AND expires_at > :now
ORDER BY at DESC LIMIT 1;

-- name: plans_approved
SELECT DISTINCT p.plan_id, p.ordinal FROM plan p
JOIN plan_change c ON c.account = p.account AND c.ordinal = p.ordinal
WHERE p.account = :account AND p.state = 'approved' AND p.expires_at > :now
  AND (c.before_agent LIKE :platform || ':%' OR c.after_agent LIKE :platform || ':%')
ORDER BY p.ordinal LIMIT 20;

-- name: operation_get
SELECT plan_id, platform, fence, due_at, started_at FROM operation
WHERE account = :account AND plan_id = :plan_id;

-- name: operations_due
SELECT plan_id, platform, fence, due_at, started_at FROM operation
WHERE account = :account AND platform = :platform AND (due_at <= :now OR due_at > :never)
ORDER BY due_at LIMIT 100;

-- name: operation_add
INSERT INTO operation (account, plan_id, platform, fence, due_at, started_at)
VALUES (:account, :plan_id, :platform, :fence, :due_at, :at);

-- name: operation_take
UPDATE operation SET fence = fence + 1, due_at = :due_at
WHERE account = :account AND plan_id = :plan_id AND fence = :fence AND due_at = :seen;

-- name: operation_keep
UPDATE operation SET due_at = :due_at
WHERE account = :account AND plan_id = :plan_id AND fence = :fence;

-- name: operation_end
DELETE FROM operation WHERE account = :account AND plan_id = :plan_id AND fence = :fence;

-- name: hold_add
INSERT INTO hold (account, platform, number, plan_id) VALUES (:account, :platform, :number, :plan_id);

-- name: hold_get
SELECT plan_id FROM hold WHERE account = :account AND platform = :platform AND number = :number;

-- name: holds_on
SELECT platform, plan_id FROM hold WHERE account = :account AND number = :number ORDER BY platform;

-- name: hold_release
DELETE FROM hold
WHERE account = :account AND platform = :platform AND number = :number AND plan_id = :plan_id;

-- name: holds_release
DELETE FROM hold WHERE account = :account AND plan_id = :plan_id;

-- name: step_add
INSERT INTO step (account, plan_id, position, state) VALUES (:account, :plan_id, :position, 'ready');

-- name: step_put
UPDATE step SET state = :state, done = :done, back = :back, detail = :detail, settle_at = :settle_at,
                tries = :tries, bare_from = :bare_from, ended = :ended
WHERE account = :account AND plan_id = :plan_id AND position = :position;

-- name: steps_of
SELECT position, state, done, back, detail, settle_at, tries, bare_from, ended FROM step
WHERE account = :account AND plan_id = :plan_id ORDER BY position;

-- name: plans_waiting_like
SELECT p.* FROM plan p
WHERE p.account = :account AND p.state IN ('open', 'approved') AND p.expires_at > :now
  AND p.ordinal < :before
  AND (lower(p.principal) LIKE :like ESCAPE '\' OR EXISTS (
        SELECT 1 FROM plan_change c WHERE c.account = p.account AND c.ordinal = p.ordinal
          AND (c.number LIKE :like ESCAPE '\' OR lower(c.before_agent) LIKE :like ESCAPE '\'
               OR lower(c.after_agent) LIKE :like ESCAPE '\')))
ORDER BY p.ordinal DESC LIMIT :limit;

-- name: plans_decided_like
SELECT p.* FROM plan p
WHERE p.account = :account AND NOT (p.state IN ('open', 'approved') AND p.expires_at > :now)
  AND p.ordinal < :before
  AND (lower(p.principal) LIKE :like ESCAPE '\' OR EXISTS (
        SELECT 1 FROM plan_change c WHERE c.account = p.account AND c.ordinal = p.ordinal
          AND (c.number LIKE :like ESCAPE '\' OR lower(c.before_agent) LIKE :like ESCAPE '\'
               OR lower(c.after_agent) LIKE :like ESCAPE '\')))
ORDER BY p.ordinal DESC LIMIT :limit;

-- name: plans_under_way
SELECT * FROM plan WHERE account = :account AND state IN ('applying', 'unknown')
ORDER BY ordinal DESC LIMIT :limit;

-- name: agents_at
SELECT agent, name, direction, pathway_id, user_id, created_at, updated_at FROM agent
WHERE account = :account AND (:direction = '' OR direction = :direction)
ORDER BY agent LIMIT :limit OFFSET :offset;

-- name: agents_count
SELECT count(*) AS found FROM agent
WHERE account = :account AND (:direction = '' OR direction = :direction);

-- name: numbers_held
SELECT n.number, n.id, n.provider, n.label, n.slug, n.updated_at, b.direction, b.agent, b.pathway_id,
       b.pathway_version, b.start_node_id, b.attached_at
FROM binding b JOIN number n ON n.account = b.account AND n.number = b.number
WHERE b.account = :account AND b.agent = :agent ORDER BY b.number;

-- name: numbers_at
SELECT n.number, n.id, n.provider, n.label, n.slug, n.updated_at, b.direction, b.agent, b.pathway_id,
       b.pathway_version, b.start_node_id, b.attached_at
FROM number n LEFT JOIN binding b
  ON b.account = n.account AND b.number = n.number AND b.direction = 'inbound'
WHERE n.account = :account AND n.number > :after
  AND (:state = 'any' OR (:state = 'attached') = (b.agent IS NOT NULL))
ORDER BY n.number LIMIT :limit OFFSET :offset;

-- name: numbers_count
SELECT count(*) AS found FROM number n
WHERE n.account = :account
  AND (:state = 'any' OR (:state = 'attached') = EXISTS (
        SELECT 1 FROM binding b
        WHERE b.account = n.account AND b.number = n.number AND b.direction = 'inbound'));

-- name: inbound_route
-- What answers a number; the pathway is the number's own, else the agent's.
SELECT n.inbound_version AS version, coalesce(b.agent, '') AS agent, coalesce(a.name, '') AS name,
       coalesce(nullif(b.pathway_id, ''), a.pathway_id, '') AS pathway_id,
       coalesce(b.pathway_version, 0) AS pathway_version,
       coalesce(b.start_node_id, '') AS start_node_id,
       (SELECT max(v.version) FROM pathway_version v
        WHERE v.account = n.account
          AND v.pathway_id = coalesce(nullif(b.pathway_id, ''), a.pathway_id)) AS newest
FROM number n
LEFT JOIN binding b
  ON b.account = n.account AND b.number = n.number AND b.direction = 'inbound'
LEFT JOIN agent a ON a.account = b.account AND a.agent = b.agent
WHERE n.account = :account AND n.number = :number;
