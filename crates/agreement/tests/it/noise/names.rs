use symbolon_agreement::noise::{ParseProtocolError, Protocol};

#[test]
fn a_name_parses_and_prints_the_same() {
    for name in [
        "Noise_XX_25519_ChaChaPoly_SHA256",
        "Noise_N_25519_ChaChaPoly_SHA256",
        "Noise_NNpsk0+psk2_25519_ChaChaPoly_SHA256",
        "Noise_IKhfs+psk1_25519+MLKEM768_ChaChaPoly_SHA256",
        "Noise_X1K1_25519_ChaChaPoly_SHA256",
    ] {
        assert_eq!(name.parse::<Protocol>().unwrap().to_string(), name);
    }
}

#[test]
fn other_names_are_refused() {
    use ParseProtocolError::{Form, Functions, Modifiers, Pattern};
    for (name, error) in [
        ("", Form),
        ("Noise_XX_25519_ChaChaPoly", Form),
        ("Noise_XX_25519_ChaChaPoly_SHA256_", Form),
        ("NoisePSK_XX_25519_ChaChaPoly_SHA256", Form),
        ("Noise_ZZ_25519_ChaChaPoly_SHA256", Pattern),
        ("Noise__25519_ChaChaPoly_SHA256", Pattern),
        ("Noise_xx_25519_ChaChaPoly_SHA256", Pattern),
        ("Noise_XX_448_ChaChaPoly_SHA256", Functions),
        ("Noise_XX_25519_AESGCM_SHA256", Functions),
        ("Noise_XX_25519_ChaChaPoly_SHA512", Functions),
        ("Noise_XXhfs_25519+MLKEM1024_ChaChaPoly_SHA256", Functions),
        ("Noise_XXhfs_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XX_25519+MLKEM768_ChaChaPoly_SHA256", Modifiers),
        ("Noise_Nhfs_25519+MLKEM768_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk4_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk03_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk3+psk3_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk3+psk0_25519_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXpsk3+hfs_25519+MLKEM768_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXhfs+hfs_25519+MLKEM768_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXhfs+_25519+MLKEM768_ChaChaPoly_SHA256", Modifiers),
        ("Noise_XXfallback_25519_ChaChaPoly_SHA256", Modifiers),
    ] {
        assert_eq!(name.parse::<Protocol>(), Err(error), "{name}");
    }
}
