-- A tenant can be erased, and what was told of old events is forgotten. Why a policy for the owner:
-- forced row-level security holds for it too, and lifting that would lock every table. With the policy
-- it reaches the rows of the one tenant that its transaction names, and of no other.

do $$
declare item record;
begin
    for item in
        select c.relname as name,
               case when c.relname = 'tenant' then 'id' else 'tenant_id' end as key
        from pg_class c
        where c.relnamespace = 'radiant'::regnamespace and c.relkind = 'r'
          and (c.relname = 'tenant' or exists (
              select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'))
    loop
        execute format(
            'create policy erasure on radiant.%I to radiant_owner'
            ' using (%I = (select radiant.current_tenant()))'
            ' with check (%I = (select radiant.current_tenant()))',
            item.name, item.key, item.key);
    end loop;
end $$;

create table radiant.erased_tenant (             -- that a tenant was here, and nothing else of it
    id uuid primary key default gen_random_uuid(),
    slug_sha256 bytea not null,                  -- of the key in pseudonym_key and the slug
    erased_at timestamptz not null default clock_timestamp(),
    erased_by text not null,
    counts jsonb not null                        -- table -> rows deleted
);

-- radiant_maintenance: when events and deliveries were, never what they said. Whatever somebody still
-- has to be told of stays, and so does everything of the last day.
grant select (tenant_id, id, at), delete on radiant.event to radiant_maintenance;
grant select (tenant_id, event_id, target, delivered_at, gave_up_at), delete on radiant.delivery
    to radiant_maintenance;
create policy maintenance_event on radiant.event for select to radiant_maintenance using (true);
create policy maintenance_event_delete on radiant.event for delete to radiant_maintenance
    using (at < clock_timestamp() - interval '1 day');
create policy maintenance_delivery on radiant.delivery for select to radiant_maintenance
    using (true);
create policy maintenance_delivery_delete on radiant.delivery for delete to radiant_maintenance
    using (coalesce(delivered_at, gave_up_at) is not null);
