-- Why: how long a heuristic is kept was written in three places. It is one function here, not in the
-- domain: credit renews in the statement that moves the confidence, since a second version of the row
-- would seldom fit into its page and would then be put into the vector index anew.

-- 90 days (the source design's HEURISTIC_EXPIRY_DAYS), a third to twice that by confidence.
create function radiant.kept_until(since timestamptz, confidence double precision)
returns timestamptz language sql stable as $$
    select since + interval '90 days' * least(2.0, greatest(0.33, 2 * confidence))
$$;
