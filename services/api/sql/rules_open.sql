SELECT rule, condition, count() FROM v_alerts WHERE condition IN ('pending', 'firing') GROUP BY rule, condition
