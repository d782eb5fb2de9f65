-- A revoked login need not be remembered once it has expired by itself: its value says when.
SELECT name, value
FROM keyring FINAL
WHERE NOT startsWith(name, {revoked:String}) OR toUInt64OrZero(value) > {now:UInt64}
ORDER BY name
