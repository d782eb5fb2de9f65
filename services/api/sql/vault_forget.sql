DELETE FROM keyring WHERE startsWith(name, {revoked:String}) AND toUInt64OrZero(value) <= {now:UInt64}
